"""Training jobs: what is learned. How it is run is the trainer's matter.

Jobs: speech_image, words_by_drawing (with its experiments), progan, segmenter. Single entries: dissection,
progan_export, synthetic_captions.

units: what the units of a trained speech model stand for, words that codes detect and phones that features tell apart.

Parts that jobs share: captions, similarity, imposters, encoding and retrieval (pairs of pictures and captions);
drawing, drawing_negatives, drawing_clusters, training_pairs and cluster_* (pictures that a task draws); fitting (what
of a config does not fit together); synthetic_shards; trained_run and results (what a measurement reads, and where it
writes).
"""
