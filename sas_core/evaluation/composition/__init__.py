"""Vectors that act together: does each still do its own, and do their effects add?"""
