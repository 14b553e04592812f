"""The Microsoft Graph adapter: authentication, delta and list readers, parsing. Raw JSON never leaves this folder."""
