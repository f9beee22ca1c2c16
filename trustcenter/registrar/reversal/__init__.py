"""Re-identification: tickets under dual control, and the originals that leave on one."""
