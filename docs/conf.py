"""How the site is built: `make docs`. Nothing is read from the network, here or by readers."""

import os
import shutil
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("NEARLIN_NUM_THREADS", "2")

HERE = Path(__file__).parent

project = "nearlin"
author = "The nearlin developers"
copyright = "2026, the nearlin developers"
release = version = version_of("nearlin")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "theory/*.py"]
templates_path = ["_templates"]
nitpicky = True
# Attributes, which are described where they are named.
nitpick_ignore_regex = [("py:obj", r".*_|covered|n_rows_seen")]

# ---- text
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# ---- docstrings
autodoc_typehints = "none"  # numpydoc's types are for readers
autosummary_generate = True
autosummary_ignore_module_all = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# ---- other projects, by what they list; kept here, so that no build asks for it
PROJECTS = {
    "matplotlib": "https://matplotlib.org/stable/",
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
}
intersphinx_mapping = {name: (url, str(HERE / f"inventories/{name}.inv")) for name, url in PROJECTS.items()}

# ---- pictures that are drawn while the site is built
plot_formats = [("png", 110)]
plot_include_source = False
plot_html_show_source_link = False
plot_html_show_formats = False
plot_rcparams = {
    "figure.figsize": (7.0, 4.0),
    "figure.constrained_layout.use": True,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "savefig.facecolor": "white",
}
plot_apply_rcparams = True
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "doc_module": ("nearlin",),
    "backreferences_dir": "api/backreferences",
}

# ---- pages
html_theme = "pydata_sphinx_theme"
html_title = "nearlin"
html_baseurl = "https://nearlin.github.io/nearlin/"
html_static_path = ["_static"]
html_css_files = ["nearlin.css"]
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/nearlin/nearlin",
    "show_prev_next": False,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 9,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
html_sidebars = {"index": [], "start": [], "certificates": [], "benchmarks": [], "changelog": []}

# ---- formulas, by a MathJax that comes with the site
mathjax_path = "MathJax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
mathjax2_config = {
    "tex2jax": {
        "inlineMath": [["\\(", "\\)"]],
        "displayMath": [["\\[", "\\]"]],
        "processRefs": False,
        "processEnvironments": False,
        "ignoreClass": "document",
        "processClass": "math",
    },
    "messageStyle": "none",
    "HTML-CSS": {"availableFonts": [], "preferredFont": None, "webFont": "STIX-Web", "imageFont": None},
}
myst_update_mathjax = False


def copy_mathjax(app):
    """Put MathJax, from the package that carries it, beside the other static files."""
    home = Path(find_spec("jupyter_server_mathjax").origin).parent / "static"
    target = Path(app.outdir) / "_static" / "MathJax"
    if app.builder.format == "html" and not target.exists():
        shutil.copytree(home, target)


def skip_member(app, what, name, thing, skip, options):
    """Of members of classes, show the methods of nearlin: attributes are in the text of their class."""
    if what != "class" or skip:
        return None
    return isinstance(thing, property) or not str(getattr(thing, "__module__", "")).startswith("nearlin")


def setup(app):
    """Connect what is above to Sphinx."""
    app.connect("builder-inited", copy_mathjax)
    app.connect("autodoc-skip-member", skip_member)
