"""Ontology names and annotated text in, an encoder, a LoRA adapter and held-out questions out.

Read ``questions`` first: what the models learn from. ``holdout`` and ``splits`` say what is kept from training and what
for, ``lora`` trains the re-ranker, ``encoder_finetuning`` the encoder.
"""
