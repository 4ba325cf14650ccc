"""Murray 2019: random-feedback local online learning of a periodic target."""
