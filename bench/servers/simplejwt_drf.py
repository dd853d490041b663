"""Django REST framework with simplejwt, as its documentation shows it: each request reads the user from the database (SQLite).

/stateless is its other way, which trusts the token and reads nobody: the tuned one.
"""

import os

import django
from django.conf import settings
from material import AUDIENCE, ISSUER, SECRET, USERNAME, items

settings.configure(
    SECRET_KEY=SECRET,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.abspath("users.db"), "CONN_MAX_AGE": 600}},  # noqa: PTH100
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
    SIMPLE_JWT={"SIGNING_KEY": SECRET, "AUDIENCE": AUDIENCE, "ISSUER": ISSUER},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication  # noqa: E402


class Guarded(APIView):
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        return Response(items(request.user.username))


class Stateless(Guarded):
    authentication_classes = (JWTStatelessUserAuthentication,)


class Open(APIView):
    authentication_classes = ()

    def get(self, request):
        return Response(items(USERNAME))


urlpatterns = [path("guarded", Guarded.as_view()), path("stateless", Stateless.as_view()), path("open", Open.as_view())]
call_command("migrate", verbosity=0)
User.objects.get_or_create(id=1, defaults={"username": USERNAME})
app = get_wsgi_application()
