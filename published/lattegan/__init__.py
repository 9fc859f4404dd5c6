"""Files of smatsumori/LatteGAN and Maluuba/GeNeVA: snapshots, text encoders, the localiser."""
