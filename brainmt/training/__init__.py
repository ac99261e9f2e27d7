"""The recipe, fastai's Learner, many processes, and going on after a kill."""
