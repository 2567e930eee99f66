"""The settings that matter for a channel layer which others share."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
DEBUG = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["channels"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent]}]

# The Go side must have the same class (--layer redis://… is this one), the same
# hosts in the same order, and the same prefix, keys and format if they are set.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ.get("REDIS", "redis://localhost:6379")]},
    },
}
