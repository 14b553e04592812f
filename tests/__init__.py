"""The tests of syncd: unit, contract, property, fault, migrations, e2e, container, bench."""
