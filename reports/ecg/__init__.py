"""Yin et al. 2021 and Higuchi et al. 2024: electrocardiograms (QTDB) labelled at each step, with published weights."""
