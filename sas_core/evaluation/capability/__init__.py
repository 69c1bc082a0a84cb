"""Questions with known answers under steering: their files, prompts, log-likelihoods, accuracies."""
