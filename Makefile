# Everything that a contributor needs; `.ci/run` is all of it from a clean clone.
.PHONY: build test fresh guarantee fuzz peers lint bench docs rustdoc

PYTHON ?= python

build:  ## an editable install with all tools, quick to rebuild
	$(PYTHON) -m pip install --editable '.[test,lint,demo,bench]'

test: build
	$(PYTHON) -m pytest
	cargo test --locked --all-targets
	cargo test --locked --doc

fresh: build  ## the same with other examples of Hypothesis in every run
	$(PYTHON) -m pytest --hypothesis-profile=fresh

guarantee: build  ## the statements of the theorems, over many seeds
	$(PYTHON) -m pytest -m guarantee

fuzz: build  ## random and hostile input, for a long time
	$(PYTHON) -m pytest -m fuzz
	cargo test --locked --test fuzz -- --ignored

peers: build  ## the tests of NumPy, SciPy, scikit-learn and statsmodels with ours in the place of theirs
	$(PYTHON) -m pytest -m peers -W default -o xfail_strict=false tests/python/peers

lint:
	.ci/lint

bench: build
	for bench in benches/python/*/*.py; do $(PYTHON) $$bench || exit 1; done
	cargo bench --locked

docs:  ## the site, in docs/_build/html; needs no network once its tools are installed
	$(PYTHON) -m pip install --editable '.[docs]'
	sphinx-build -n -W --keep-going -b html docs docs/_build/html

rustdoc:  ## the documentation of the crate, private items included
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items --features python
