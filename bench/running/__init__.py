"""Planning and running a sweep: plan, runner, journal, progress, status."""
