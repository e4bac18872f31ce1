"""From ontology names and annotated text to a fine-tuned encoder, a LoRA adapter and held-out questions.

Read ``questions`` first: what the models learn from. ``holdout`` and ``splits`` decide what is held out from training,
and what for. ``lora`` trains the re-ranker, ``encoder_finetuning`` the encoder; ``footprint`` predicts the memory that
training takes.
"""
