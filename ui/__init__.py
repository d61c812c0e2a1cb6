"""What the screens share: router, theme, frame, guards, charts, the image grid."""
