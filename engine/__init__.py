"""The engine of a training, of which tasks/ hold the contents.

A command goes through exit_codes, run_config, launch (which starts the ranks of common/distributed.py) and context; a
run through assemble, stand_in, init_from, partial_loading and run_folder (with run_info, run_lock, text_log). The
trainer is made of task (the protocol), settings, update, replicas, ema, training_state (with checkpoint, resumable,
seeding), signals and logs; optimization and schedules are groups of a task's config.
"""
