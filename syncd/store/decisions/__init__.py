"""What people decided: approvals and rejections."""
