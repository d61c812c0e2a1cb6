"""Every image embedded once: afterwards all stages work on a feature matrix as they do on images."""
