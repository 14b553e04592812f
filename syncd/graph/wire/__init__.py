"""The shapes of Microsoft Graph: requests, pages, entries and refusals."""
