"""syncd keeps a WEBCON BPS portal's users and groups in step with a Microsoft Entra ID tenant."""
