"""Irie, Gopalakrishnan and Schmidhuber 2024: real-time recurrent learning of an element-wise recurrent network."""
