"""Word lists of the imitation company: people, places, departments, titles, projects."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Adam Agnieszka Aleksandra Anders Anna Antoni Astrid Barbara Bartosz Beata Björn Carlos Chloé Daniel Dorota "
    "Elif Elżbieta Emil Emma Ewa Fatima Filip François Gabriela Grzegorz Hanna Henryk Ingrid Irena Iwona Jakub "
    "Jan Joanna Johannes José Julia Kacper Karolina Katarzyna Krzysztof Lars Laura Łukasz Maciej Magdalena "
    "Małgorzata Marek Maria Marta Mateusz Michał Monika Natalia Nguyễn Niamh Oliver Oskar Patrycja Paweł Piotr "
    "Priya Rafał Renée Robert Sandra Søren Stanisław Sylwia Tomasz Urszula Wiktor Wojciech Zofia Zoë"
)
LAST_NAMES = _words(
    "Adamski Andersson Baran Becker Bielak Chen Czarnecki Dąbrowska Dietrich Dubois Duda Fischer García Głowacki "
    "Górska Grabowski Hansen Hoffmann Horvat Jabłoński Jankowska Jensen Kamiński Kaczmarek Keller Kowalczyk "
    "Kowalski Kozłowska Krawczyk Król Kumar Lewandowski Lindqvist Łuczak Majewska Malinowski Mazur Meyer Müller "
    "Nguyen Nowak Nowakowska Novák O'Brien Olsen Pawlak Petrov Piotrowska Rossi Rutkowski Schmidt Sikora Silva "
    "Sobczak Szymańska Tamm van-Dijk Vogel Walczak Weber Wieczorek Wiśniewska Witkowski Wójcik Wróbel Yılmaz "
    "Zając Zalewska Zieliński"
)
SITES = (
    ("Warszawa", "PL", "+48 22"),
    ("Kraków", "PL", "+48 12"),
    ("Gdańsk", "PL", "+48 58"),
    ("Berlin", "DE", "+49 30"),
    ("Brno", "CZ", "+420 5"),
    ("Aarhus", "DK", "+45 86"),
    ("Lyon", "FR", "+33 4"),
    ("Dublin", "IE", "+353 1"),
)
DEPARTMENTS = (
    ("Operations", 24, ("Dispatcher", "Operations Specialist", "Shift Leader", "Operations Manager")),
    ("Warehousing", 20, ("Warehouse Clerk", "Forklift Operator", "Inventory Planner", "Warehouse Manager")),
    ("Sales", 16, ("Account Executive", "Sales Representative", "Key Account Manager", "Sales Director")),
    ("Engineering", 12, ("Software Engineer", "Test Engineer", "Systems Architect", "Engineering Manager")),
    ("Customer Service", 9, ("Service Agent", "Service Specialist", "Team Leader")),
    ("Finance", 6, ("Accountant", "Controller", "Payroll Specialist", "Finance Manager")),
    ("IT", 5, ("System Administrator", "Service Desk Analyst", "Security Engineer")),
    ("Human Resources", 4, ("Recruiter", "HR Business Partner", "Training Specialist")),
    ("Marketing", 4, ("Content Specialist", "Campaign Manager", "Designer")),
)
PROJECTS = _words(
    "Amber Baltic Beacon Birch Cedar Comet Delta Falcon Fjord Granite Harbour Heron Horizon Juniper Kestrel "
    "Lantern Maple Meridian Nimbus Orion Osprey Pioneer Quartz Raven Sextant Skylark Summit Tern Vega Willow"
)
