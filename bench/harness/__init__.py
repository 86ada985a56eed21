"""What `bench/run` is made of: build, servers, sameness, load, report."""
