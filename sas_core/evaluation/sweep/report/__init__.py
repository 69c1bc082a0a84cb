"""A sweep told: findings in sentences, a flat table, one HTML file with its plots."""
