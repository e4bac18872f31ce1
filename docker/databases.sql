-- Run by PostgreSQL's image when its volume is empty: one server, a database each.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
