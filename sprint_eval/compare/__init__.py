"""Many methods over the same tasks: answers kept between runs, a plan of lm_eval runs, the figure."""
