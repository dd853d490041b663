"""simplejwt with rotation and blacklist, and django-oauth-toolkit, each as its documentation shows it, in one Django.

    refresh_django.py prepare simplejwt|toolkit N    makes the tables and N users with a refresh token each; prints these as JSON
    gunicorn refresh_django:application              the server

BENCH_DATABASE: a path for SQLite (WAL, synchronous=FULL), or a URL of PostgreSQL.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings

place = os.environ["BENCH_DATABASE"]
if "://" in place:
    url = urlsplit(place)
    database: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path[1:],
        "USER": url.username,
        "HOST": url.hostname,
        "PORT": url.port,
        "CONN_MAX_AGE": None,
    }
else:
    options = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": place, "OPTIONS": options}
settings.configure(
    SECRET_KEY="of the benchmark, and of nothing else at all",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": database},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
        "oauth2_provider",
    ],
    SIMPLE_JWT={"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True, "UPDATE_LAST_LOGIN": False},
    OAUTH2_PROVIDER={"SCOPES": {"orders:read": "Read orders"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # nobody logs in here by password
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework_simplejwt.views import TokenRefreshView  # noqa: E402

urlpatterns = [
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]
application = get_wsgi_application()


def prepare(peer: str, number: int) -> list[str]:
    """A refresh token for each of so many users."""
    from django.contrib.auth import get_user_model

    call_command("migrate", verbosity=0)
    users = get_user_model().objects.bulk_create([get_user_model()(username=f"user-{n}") for n in range(number)])
    if peer == "simplejwt":
        from rest_framework_simplejwt.tokens import RefreshToken

        return [str(RefreshToken.for_user(user)) for user in users]
    from datetime import timedelta

    from django.utils.timezone import now
    from oauth2_provider.models import AccessToken, Application
    from oauth2_provider.models import RefreshToken as Token

    client = Application.objects.create(
        client_id="bench", client_type="public", authorization_grant_type="authorization-code", redirect_uris="https://app.example/back"
    )
    made = []
    for n, user in enumerate(users):
        access = AccessToken.objects.create(
            user=user, application=client, token=f"access-{n}", expires=now() + timedelta(hours=1), scope="orders:read"
        )
        made.append(Token.objects.create(user=user, application=client, token=f"refresh-{n}", access_token=access).token)
    return made


if __name__ == "__main__":
    print(json.dumps(prepare(sys.argv[2], int(sys.argv[3]))))
