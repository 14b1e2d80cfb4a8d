"""Names what pictures show: python classify.py MODEL PICTURE..."""

import sys

import mobileone

if len(sys.argv) < 3:
    sys.exit(__doc__)
model = mobileone.Model(sys.argv[1])
print(f"{model.name} on {model.device}", file=sys.stderr)
for path in sys.argv[2:]:
    best = model(path)[0]
    print(f"{path.rsplit('/', 1)[-1]}  {best.probability:6.1%}  {best.label}")
