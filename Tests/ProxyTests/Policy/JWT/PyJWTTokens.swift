// Made by tools/lib/jwt-tokens.py with PyJWT 2.15.1
enum PyJWTTokens {
    static let keys =
        #"{"keys": [{"kid": "rsa", "kty": "RSA", "key_ops": ["verify"], "n": "nZQLMLPdiUVYH-FvhfzY4LBa"#
        + #"sYH96hCyOnpHG-MlNUt3gcguQ-nqVMeX5y7ltX2ZHIFlJB6PlHO9uVMBnXWehEhTschKXORIxIywstvIbg2wHYV6DZHK"#
        + #"hkmFy03Qq84QGKzTSPKQToDJ1sLfuz278aGt2LDgUl5XBREt8WH3_JstPJ44h7fOoK7Ldz7haPrOul3VbGIwnetuS0Uj"#
        + #"c3kpyjPYy2k9ZyB5HVU5FTHcDw0PQ8p-eD6xjYF4-33VL-_iw8XM1mfU5kQUK0ofwwt3dbd_FYgPsGbaESEKzP5Dy8w9"#
        + #"5Kt90PzA3VrSrzHOGbsWwYvtvzUZXTO8wvU8L1qTvQ", "e": "AQAB"}, {"kid": "p256", "kty": "EC", "crv"#
        + #"": "P-256", "x": "rYTK7b7mIUXiB0BicbmSK8XdSYBbTa90hPdvoJIYNMg", "y": "qlpm3LzpYx8PEzXkQY7SPE"#
        + #"Ciwxn1LgDMiFmL6ahPw3A"}, {"kid": "p384", "kty": "EC", "crv": "P-384", "x": "XKeCvUXfRNLIqF3h"#
        + #"egK-GDedy4vDNcMqZKkw7zV4CjeVE_Rppe8MrxmlLg4C5YNT", "y": "9LCQDtE4x35uiQpIYI4xppKCofsc7Ntqbs4"#
        + #"oPcqDvH9SxcAudR1Ihr8BGjgb3QDP"}, {"kid": "p521", "kty": "EC", "crv": "P-521", "x": "AZgAK5qb"#
        + #"sH-Hsjhqv99M2eDi648clGcpqPzOkCSHcwrf0lLUt1l86q63KvyXSfuXagpKZ8rL4Px6m-naIef9Az4S", "y": "ADn"#
        + #"oqeigIGddFbynJbZMANlUi5qgxdP2Rw-yXNh4LP4GYLRQmTA0hJIIILPEHP3sOoMgTGYfZurrC9FXzVanPasd"}, {"k"#
        + #"id": "ed25519", "x": "Ou5iQla7mcfEH4voOUZ6WZ2-u_CMd3UJ2jThnrnK1gs", "kty": "OKP", "crv": "Ed"#
        + #"25519"}]}"#

    static let tokens: [(algorithm: String, token: String)] = [
        (
            "RS256",
            #"eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.E5DhAl-Z3WQU"#
                + #"GL0FkuhJA24PZYKaqCNYiDIChWnPQEDHrGe2WYfJUkINRdS01n8ppDvmRYLV6GMH8hWM2mQT3eacArBsA0L0Rh0s"#
                + #"1FYodj1LJ1H-hsFSvCsK-iBOotqP2IE3vl_snBdqL61X6T8jiRJ5q4Ap2rmeecNIuxTrNyyBfag-7jMgg-sCp-_q"#
                + #"6OcXC0zoK8b732CbLeGYDiCxm1rZnJvwGXtRBsnqlAufhsf2j27vxKTaWmBzdnMvgCGuqzvE83UjC53QZu6OQ80f"#
                + #"Ob_D2ZpaokaGuwfvVChebm4ym3vNLRTVLPLaRFnOSxpcKdjmb9SqRZccJ2xuziwMVw"#
        ),
        (
            "RS384",
            #"eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.CNl7gr4VLk-N"#
                + #"dGFNVAPiqnabuYfPrM_WxXw86AzJQwFldySCKEAz49TbnRdw5CP_WiIUrjIRts9bVUZXoGA5yfv_dm3alBRqq2Nm"#
                + #"1Yv943ocHhLjzZvgOkhG9Z51WWLBaJMGoYgkc8xDuqPR4bI-IBAlq17_Oa-uXgbZn66GwwkbdY95OppVna1QQuR2"#
                + #"_mNy8l8N1CMpH2crH67JC_D0BrPlud3Iytn-b5HtT_QrWhL4DLuFGhKbXR7i3s1c5KnenyR964W5IE2xpKfb3aFn"#
                + #"mBNpwPW52-Qp07BWDgwqr1rQ0w6yFSwE6S2hwJ62zypYPKP5XkgZI286Z-0ZS5z3xw"#
        ),
        (
            "RS512",
            #"eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.liGrIaO4eBiZ"#
                + #"oy5SKKKe9bqttg6pxBIz0qH9CvXu8O5MnyM3bsFbSUCWGSkTORwR6OlgHjXIYddMt3SzUaL0iNQNeu2WlSzJ33cI"#
                + #"W9OS8tDU8zRxop-WK9B4CMLQj9f0d3MNLD1KO6QiPbC2U8ER2pLmJNLzpJpvLAyeeVN4tNAJhmrPmQj2oFP1Ig0Y"#
                + #"fN4QfObhCLUuP35P6DdYd1TS2x0oID1lv-XU0ugk0jdPHNn9K-HsC2ZraugPcR-PblHMVAZL5LA7RSq5SZ5sDAjG"#
                + #"-4E5vq9hodRiVG4xt8JMbppUe8mDnn9xdrWuy7KwHUKpSVxxufHjtt2wim5GnYqraw"#
        ),
        (
            "PS256",
            #"eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.h9P58v3n_0wI"#
                + #"WgYri7FMilLhQuWPgVb3eVmpP8KvvBU9zskReibph4zqY1TeY_vbjum_I2blcsQxBpFvMQBORayWs8uX5mpoWtI9"#
                + #"v7QGjNTPfmq42u1iMe7y0HqZbYx5XbaOWUUBim0x0Nc6sJQsGL-Y4Nha1SrZTtxdfHz_4jye1EYkpqg0Ood3VWKn"#
                + #"WNWLinPg9sGG3I6mz7tQ4p__ZCgqQjqc3zJfgKYslVQ9uPT_lR5xrRLgVPrfIHttY4IUGeHK0Hbn0VFVU95vTywW"#
                + #"FggMG41LsrsWco9hUDGSAysN8wjxgUknIRV8puxxiYFR-qh_2gzA2TdzRmSzJifHaA"#
        ),
        (
            "PS384",
            #"eyJhbGciOiJQUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.Feqt54ydZYv7"#
                + #"PbzeEpziJW5txZL6HHvEmVPWczK48XmavznVw-ArL2liX0_981LDEQrBWC2_rtOqPwjWRZR85zanbIEOsjdGPpIL"#
                + #"SiSVRsZOcgDFoXiiVm5VLh7UjJF_pRHCywzHAcL9JVIOZUQ8-ZShpUJKfq5vjv0bK-0et-iz6q-wWY8uJZyi3nnq"#
                + #"tfa7A000_2efEftWe4b3wA-pGZtseNvMvFkl8mJq7sZCMrwWlIZk5mgcgxhZdux57GcJSRy4Mu134EBdheCeslPE"#
                + #"HXJ6o0aVZYp0XgPLH-oUQbmriiIwRi71S26PoVBtqQBaJ3DPugztnAzDiQbvoY6PJA"#
        ),
        (
            "PS512",
            #"eyJhbGciOiJQUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN"#
                + #"0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4MDA"#
                + #"wMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.OPagSiDLAGP5"#
                + #"aiSb56-BOtTlftecOfYrBHC8duRCn-E7p4_p9lUHDTNzpV5EU1s9orpxhxEAQE4TutDU7VRprZzmZO-sjUvT2br8"#
                + #"51f66Ift5ZMEbhscBQOj0GPnmAZyZdwBQ4RG4Dro_4lIRNNVAAQAEglIqYj534EOarQSCXEESdi2KvLd4xKFxAUo"#
                + #"iCR7hYpN9sWRikdVML66_QK6Q2lyra5gj4XYocKhM6rxe7aZM9zoWysqdsN1lv7oL1LvRiIys-komUvnuZmX81tu"#
                + #"tIhKFg4HkXMk6KXfWsZq5EqOYFfNPtNo4eDuJ4rI7TvRNrASK2XxGwk9CzokZ--X9g"#
        ),
        (
            "ES256",
            #"eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50Z"#
                + #"XN0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4M"#
                + #"DAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.bx70seegmt"#
                + #"7wO9mWTS6XuVlG2WZ-6ZF7jFdQtLS_S0Kt5QNP9Z9CVkOXUzIjFyp3ienZnKn-U0e9lvSH92TOJA"#
        ),
        (
            "ES384",
            #"eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50Z"#
                + #"XN0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4M"#
                + #"DAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.r2ebrgMdWt"#
                + #"mLAEgI3pOl5WOp5BmCqgU4RF2GNUNlnLrfit5FbaSR2Kz5gFPxq-1hHvHwaZMst9cl9eiGfMKBWzxJmDgmx6nJl5"#
                + #"878RcbWaX7I4pGk5wJkkKtULeO2HgP"#
        ),
        (
            "ES512",
            #"eyJhbGciOiJFUzUxMiIsImtpZCI6InA1MjEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50Z"#
                + #"XN0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiOjE4M"#
                + #"DAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.ALfMGg5X8f"#
                + #"mtFINcbUKXUtOo9jEtdjXH3bdkq78xtLGdlxjhohZ0tj8eVymL-mHvA1L_MjoigxqQhPQ_k-pixLdKAc-INsDcdI"#
                + #"l0UfvMlkL5SSQ7qpncubHq7AOOw1zTX84zbkMCvXtjSx0XlMYr_61mTn3jrkfWrMLhwZ5865AScoJl"#
        ),
        (
            "EdDSA",
            #"eyJhbGciOiJFZERTQSIsImtpZCI6ImVkMjU1MTkiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlc"#
                + #"i50ZXN0Iiwic3ViIjoiYWxpY2UiLCJhdWQiOlsic2hvcCIsImJhbmsiXSwiaWF0IjoxODAwMDAwMDAwLCJuYmYiO"#
                + #"jE4MDAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwiZ3JvdXBzIjpbImFkbWluIiwiblx1MDBlNGl2ZSJdfQ.-0X6Jg"#
                + #"vvxBzs-ylCXD6Ois-AZA0SAYnrP7zcnpSNr2qIEzK_EGTrTTQFqSOA9Ixxn8EWZTVHt6NGrYe8dngfDA"#
        ),
    ]
}
