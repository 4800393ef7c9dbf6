"""What is written for papers: charts and the table, in their size and form (pages for people: `pages`)."""
