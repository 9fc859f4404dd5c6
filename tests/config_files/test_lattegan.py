"""The heads of system 5's configs say where each key of the originals is found here."""

import pytest

import config
from tests.config_files.test_published_keys import mapped

SPLITS = "dataset dataset_path valid_dataset_path test_dataset_path"
TEXT = "name seed batch_size num_workers glove_path sentence_encoder_type text_dim"
# params/exp078.yaml to exp170.yaml of smatsumori/LatteGAN, and the arguments of Maluuba/GeNeVA's geneva/utils/config.py
KEYS = {
    "tirg_iclevr": f"{SPLITS} {TEXT} epochs eval_batch_size depth hidden_dim sa_fused sta_concat use_pos_emb sa_gate "
    "res_mask res_mask_post use_conv_final multi_channel_gate optimizer_type lr weight_decay loss_type margin k "
    "gate_loss_gamma text_detection_gamma gate_detection_gamma",
    "embed": f"{SPLITS} {TEXT} fork model_path save_root_dir",
    "exp170": f"{SPLITS} print_model name seed vis_step vis_sample_step save_step eval_step embed_dataset_path "
    "valid_embed_dataset_path test_embed_dataset_path detector_localizer_path batch_size eval_batch_size num_workers "
    "epochs image_size stdin image_feat_dim generator_sn generator_norm embedding_dim condaug_out_dim cond_kl_reg "
    "noise_dim gen_fusion sta nhead res_mask_post multi_channel_gate use_relnet discriminator_arch discriminator_sn "
    "num_objects disc_fusion use_stap_disc generator_lr generator_beta1 generator_beta2 discriminator_lr "
    "discriminator_beta1 discriminator_beta2 wrong_fake_ratio gp_reg aux_reg num_parallel_search",
    "geneva_iclevr": "activation arch aux_reg batch_size cond_kl_reg condition_encoder_optimizer conditioning "
    "conditioning_dim criterion dataset debug disc_cond_channels disc_img_conditioning disc_sn discriminator_beta1 "
    "discriminator_beta2 discriminator_lr discriminator_optimizer discriminator_weight_decay embedding_dim "
    "embedding_type epochs exp_name feature_encoder_lr gan_type gen_fusion generator_beta1 generator_beta2 "
    "generator_lr generator_optim_image generator_optimizer generator_sn generator_weight_decay gp_reg grad_clip "
    "gru_lr gru_optimizer hidden_dim image_feat_dim img_encoder_type img_size inception_count "
    "inference_save_last_only input_dim load_snapshot log_path metric_inception_objects noise_dim num_objects "
    "num_workers projected_text_dim results_path rnn_lr rnn_optimizer save_rate self_attention "
    "sentence_embedding_dim skip_connect teacher_forcing test_dataset use_fd use_fg val_dataset vis_rate vis_server "
    "wrong_fake_ratio",
}


@pytest.mark.parametrize("name", KEYS)
def test_every_published_key_is_mapped_once(name):
    text = config.find(f"lattegan/{name}").read_text(encoding="utf-8")
    assert sorted(mapped(text.replace("\nentry:", "\ndescription:", 1))) == sorted(KEYS[name].split())
