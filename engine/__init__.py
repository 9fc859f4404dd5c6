"""How training is run. What is learned lives in tasks/.

A run begins in context, assemble, init_from and run_folder; the trainer is made of task (the protocol), settings,
update, ema, training_state, checkpoint, signals, logs and seeding; processes and launch start the ranks of
common/distributed.py; optimization and schedules are groups of a task's config.
"""
