"""Bohnstingl et al. 2022: online spatio-temporal learning, here on the JSB chorales with soft spiking neural units."""
