"""The shop in Django, in one file: models of the tables that are there, views, templates."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.wsgi import get_wsgi_application


def database(address: str) -> dict:
    if not address.startswith("postgres"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": address, "CONN_MAX_AGE": None}
    url = urlsplit(address)
    place = {"HOST": url.hostname, "PORT": url.port, "USER": url.username, "NAME": url.path[1:]}
    return {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None} | place


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": database(os.environ["SHOP_DATABASE"])},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[],
    MIDDLEWARE=[],
    ROOT_URLCONF="shop",
    SECRET_KEY="of no use here",
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent / "templates"]}
    ],
    USE_I18N=False,
    USE_TZ=False,
)
application = get_wsgi_application()
# gunicorn loads this file as `shop`, which is also where the routes are looked for.
sys.modules.setdefault("shop", sys.modules[__name__])

from django.db import models  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.shortcuts import get_object_or_404, render  # noqa: E402
from django.urls import path  # noqa: E402

COMPACT = {"separators": (",", ":"), "ensure_ascii": False}
COLUMNS = ("id", "slug", "name", "description", "stock", "price")


class Product(models.Model):
    slug = models.TextField(unique=True)
    name = models.TextField()
    description = models.TextField()
    price = models.IntegerField()
    stock = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "products"


class Fortune(models.Model):
    message = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "fortunes"


def fortunes(request):
    found = [*Fortune.objects.all(), Fortune(id=0, message="Additional fortune added at request time.")]
    found.sort(key=lambda fortune: fortune.message)
    return render(request, "fortunes.html", {"fortunes": found})


def product(request, slug):
    found = get_object_or_404(Product, slug=slug)
    price = f"{found.price // 100}.{found.price % 100:02}"
    return render(request, "product.html", {"product": found, "price": price})


def product_data(request, slug):
    found = get_object_or_404(Product, slug=slug)
    return JsonResponse({name: getattr(found, name) for name in COLUMNS}, json_dumps_params=COMPACT)


urlpatterns = [
    path("fortunes", fortunes),
    path("products/<slug:slug>", product),
    path("api/products/<slug:slug>", product_data),
]
