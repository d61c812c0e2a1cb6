"""One chart a file: each takes small tables and gives a Plotly figure."""
