# What `make test` runs. See tests/README.md.

tests/node_modules/.package-lock.json: tests/package-lock.json | deps
	@cd tests && npm install --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

test: deps-test check ## run all that needs no GPU

check: all $(TESTS) $(TEST_TOOLS) tests/node_modules/.package-lock.json
	@BUILD=$(BUILD) tests/run.sh
