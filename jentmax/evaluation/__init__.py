"""What sets of structures cover and how they compare: functions of plain arrays."""
