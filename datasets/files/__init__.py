"""Files of datasets: finding, fetching, unpacking and caching them."""
