"""shap.TreeExplainer of a scikit-learn model. `shap_contributions.py MODEL_FOLDER THREADS`"""

from contributions import explainer
from harness import serve

serve(lambda folder, about, threads: explainer(folder, about), expected="contributions.npy")
