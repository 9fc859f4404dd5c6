"""Training jobs: they define what is learned; the trainer runs them.

A room for each: speech_image (what systems 1 and 2 share: task, objective, images, caption_encoder, encode_split,
rank_split, report, trained), words_by_drawing (system 1: objective, generated_images, negatives, clustering,
synthetic_captions; its experiments), resdavenet_vq (system 2: what the units of a trained speech model stand for, words
that codes detect and phones that features distinguish), attngan (system 3: damsm, task, trained, export, zero_shot;
rooms for sampling, scores and serve), visual_vocab (system 4: directions, annotate, distil, evaluate, show, guided;
pages in serve), lattegan (system 5: localizer, word_vectors, tirg, embed, task, geneva, and what the last two share in
drawing and batches; score, export, speak, listen; rooms turn_by_turn and serve), concepts (each word of the world in
systems 1 to 4), serving (what servers share), gan (progan, segmenter, dissection, progan_export; generators of classes:
conditional, classifier, class_networks, class_samples, class_scores, class_export), comparison (runs side by side).

All jobs share checks (errors of a planned training), results (folders of measurements) and published_export.
"""
