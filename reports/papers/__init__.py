"""Papers: a folder for each one, with published values, claims, suites and figures (`paper_folders.py` finds it).

targets.yaml    title, DOI, published values and suites whose curves are shown (`verdicts.py`)
exact.py        functions that compute exact targets, by the names in targets.yaml (optional)
claims.py       functions marked by `claim` (`claims.py`); more of them in `*_claims.py` (optional)
experiment.py   what the paper computes itself; exact.py, claims.py and figures.py read it (optional)
figures.py      `FIGURES`, functions `draw(results, scale)` by the name of the figure (optional)
tables.py       `TABLES`, functions that return a `PaperTable`, likewise (optional)
suites/*.yaml   suites; `throughtime run` knows them by name (optional)
"""
