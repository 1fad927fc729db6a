# Writes a JSON web token to `token` (RFC 7519), and the certificate of the key that signs it to `cert.pem`.
coded() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=berth-test -keyout key.pem -out cert.pem
certificate=$(openssl x509 -in cert.pem -outform DER | openssl base64 -A)
head=$(printf '{"typ":"JWT","alg":"RS256","x5c":["%s"]}' "$certificate" | coded)
access='[{"type":"repository","name":"team/box","actions":["pull","push"]}]'
body=$(printf '{"iss":"berth-test","sub":"ann","aud":"registry","nbf":1,"exp":9999999999,"access":%s}' "$access" | coded)
printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign key.pem | coded)" > token
