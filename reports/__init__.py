"""Tables, figures and the report, made from records only; one folder a paper beside them."""
