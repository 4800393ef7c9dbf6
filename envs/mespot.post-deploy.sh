# Snakemake runs this in the environment that --sdm conda makes from mespot.yaml.
pip install --no-deps retinaface-pytorch==0.0.8 --editable "$MESPOT_CHECKOUT"
