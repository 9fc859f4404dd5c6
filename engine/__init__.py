"""How training is run: ranks, checkpoints, schedules, logs. What is learned lives in tasks/."""
