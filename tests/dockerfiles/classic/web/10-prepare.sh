#!/bin/sh
echo "prepared $WEB_VERSION"
