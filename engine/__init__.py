"""How training is run. What is learned lives in tasks/.

A run begins in context, assemble, initialise and run_folder; the trainer is made of task (the protocol), settings,
update, averages, saving, checkpoint, stop, logs and seeding; ranks are in distributed, processes and launch;
optimization and schedules are groups of a task's config.
numerals, errors, torch_files and whole_files serve every package.
"""
