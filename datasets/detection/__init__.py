"""Object detection: boxes, the loss and the decoding of grids of predictions, average precision, augmentation."""
