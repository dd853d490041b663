"""Flask with Flask-JWT-Extended, as its documentation shows it."""

from flask import Flask, jsonify
from flask_jwt_extended import JWTManager, get_jwt, jwt_required
from material import AUDIENCE, ISSUER, SECRET, USERNAME, items

app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = SECRET
app.config["JWT_DECODE_AUDIENCE"] = AUDIENCE
app.config["JWT_DECODE_ISSUER"] = ISSUER
JWTManager(app)


@app.get("/guarded")
@jwt_required()
def guarded():
    return jsonify(items(get_jwt()["username"]))


@app.get("/open")
def unguarded():
    return jsonify(items(USERNAME))
